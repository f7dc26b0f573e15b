-- needs: waking
-- A chat's record (a hash), which is the truth, shared by all that change one. Instants and spans are milliseconds.
--
-- Fields:
--   ticket  the newest command that arrived; a smaller one that still waits was overtaken
--   obeyed  the newest command that was; one that arrived later may have failed, or wait
--   state   what the upstream was last told ('' nothing)        since   when that began to show
--   until   when its pause is owed (0: none)                    sent    when it was last told to show
--   doubt   until when something sent earlier may still take effect, so that a pause needs an echo
--   tries   pauses that failed so far
--   owner   who may call the upstream now     lease   until when     op   what they are telling it
--   ends    only while a command is under way: when its own pause would be due
--   why     what the coming pause is for, where that is not its time: natural (no end was asked for), message
--   unsure  1 where the last call failed, or nobody knows
--   trace   the traceparent of the command that made the promise
local LATE, QUIET = TAG .. 'late', TAG .. 'quiet'
local TOMBSTONE = 30000 -- longer than any command waits for the lease, so that it still learns it was overtaken
local LINGER = 30000    -- an indicator without an end: the phone drops it long before

local FIELDS = {'ticket', 'since', 'until', 'sent', 'doubt', 'tries', 'lease', 'ends', 'unsure',
  'state', 'owner', 'op', 'trace', 'why', 'obeyed'}
local quiet = 0 -- an account rests so long after its last indicator; a script that ends one says so

-- FIELDS by name, as they are stored; 0 and '' are not. Written out, since a table that knows its size is made at once.
local function fields(stored)
  return {ticket = tonumber(stored[1] or 0), since = tonumber(stored[2] or 0),
    ['until'] = tonumber(stored[3] or 0), sent = tonumber(stored[4] or 0), doubt = tonumber(stored[5] or 0),
    tries = tonumber(stored[6] or 0), lease = tonumber(stored[7] or 0), ends = tonumber(stored[8] or 0),
    unsure = tonumber(stored[9] or 0), state = stored[10] or '', owner = stored[11] or '', op = stored[12] or '',
    trace = stored[13] or '', why = stored[14] or '', obeyed = tonumber(stored[15] or 0), was = false}
end

-- Turn to a chat by its record's key, and read it.
local function load(key)
  turn_to(key)
  local stored = redis.call('HMGET', KEY, unpack(FIELDS))
  local rec = fields(stored)
  rec.was = fields(stored)
  return rec
end

-- Whether it owes anything, or is being called.
local function owes(rec) return rec.owner ~= '' or rec['until'] > 0 end

-- Write what has changed.
local function save(rec)
  local set, gone, was, had_failed = {}, {}, rec.was, rec.was.tries > 0
  for i = 1, #FIELDS do
    local name = FIELDS[i]
    local value = rec[name]
    if value ~= was[name] then
      was[name] = value
      if value == 0 or value == '' then gone[#gone + 1] = name
      else set[#set + 1] = name; set[#set + 1] = value end
    end
  end
  if #gone > 0 then redis.call('HDEL', KEY, unpack(gone)) end
  if #set > 0 then redis.call('HSET', KEY, unpack(set)) end
  if rec.tries > 0 then redis.call('ZADD', LATE, rec['until'], KEY)
  elseif had_failed then redis.call('ZREM', LATE, KEY) end
end

-- As `wake_at`, for what the record owes.
local function arm(rec, at, now_us)
  wake_at(at, now_us / 1000)
  -- Only a record at rest has a time to live.
  if not owes(rec.was) then redis.call('PERSIST', KEY) end
end

-- The account need not be online for this chat any more. Whoever takes it up looks whether another shows by then.
local function rest_account(rec, now_us)
  if quiet == 0 or (rec.was.state == '' and rec.was['until'] == 0) then return end
  redis.call('ZADD', QUIET, math.floor(now_us / 1000) + quiet, INSTANCE)
end

-- Nothing shows and nothing is owed, except an echo while something sent earlier may still take effect.
local function close(rec, now_us)
  rec.state, rec['until'], rec.since, rec.tries, rec.why, rec.unsure = '', 0, 0, 0, '', 0
  if rec.doubt > now_us / 1000 then
    rec['until'] = rec.doubt
    arm(rec, rec['until'], now_us)
    save(rec)
  else
    rec.doubt, rec.trace = 0, ''
    rest_account(rec, now_us)
    forget()
    save(rec)
    redis.call('PEXPIRE', KEY, TOMBSTONE)
  end
end

-- Wake up for whatever the record still needs: the next refresh, the pause, or nothing.
local function schedule(rec, now_us, refresh, life)
  local now = math.floor(now_us / 1000)
  if rec['until'] > 0 then
    local at = rec.state ~= '' and next_wake(rec['until'], rec.sent, refresh, life) or rec['until']
    arm(rec, math.max(at, now), now_us)
    save(rec)
  elseif rec.state ~= '' then
    -- Nobody asked for its end; it is forgotten when the phone has.
    wake_at(now + LINGER, now)
    save(rec)
    redis.call('PEXPIRE', KEY, LINGER)
  else
    close(rec, now_us)
  end
end

-- The owner's lease ran out before it said what became of its call: it died, or will find its lease lost.
-- Whatever it was telling the upstream may take effect now or later; a command's own promise stands.
local function take_over(rec, echo)
  if rec.op ~= 'paused' then rec.doubt = math.max(rec.doubt, rec.lease + echo) end
  if rec.ends > 0 then
    if rec.op ~= 'paused' then rec.state = rec.op end
    rec['until'], rec.obeyed = rec.ends, rec.ticket
  end
  rec.owner, rec.op, rec.lease, rec.ends = '', '', 0, 0
end
