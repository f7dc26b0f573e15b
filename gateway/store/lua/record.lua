-- needs: clock
-- A chat's record and when it wakes up, shared by all that change one. Instants and spans are milliseconds.
--
-- The record (a hash) is the truth. The instance's chats (a sorted set) say when each wakes up, and the partition's queue
-- when the first of an instance does. All three change in one step. Fields:
--   ticket  the newest command that arrived; a smaller one that still waits was overtaken
--   state   what the upstream was last told ('' nothing)        since   when that began to show
--   until   when its pause is owed (0: none)                    sent    when it was last told to show
--   doubt   until when something sent earlier may still take effect, so that a pause needs an echo
--   tries   pauses that failed so far
--   owner   who may call the upstream now     lease   until when     op   what they are telling it
--   ends    only while a command is under way: when its own pause would be due
--   why     what the coming pause is for, where that is not its time: natural (no end was asked for), message
--   unsure  1 where the last call failed, or nobody knows
--   trace   the traceparent of the command that made the promise
local TAG = string.match(KEYS[1], '^pg:{%d%d}:') -- of the partition: every key here begins with it
local QUEUE, LATE, QUIET = TAG .. 'queue', TAG .. 'late', TAG .. 'quiet'
local TOMBSTONE = 30000 -- longer than any command waits for the lease, so that it still learns it was overtaken
local LINGER = 30000    -- an indicator without an end: the phone drops it long before
local SOON = 1000       -- workers look this far ahead; of what is sooner they are told

local FIELDS = {'ticket', 'since', 'until', 'sent', 'doubt', 'tries', 'lease', 'ends', 'unsure',
  'state', 'owner', 'op', 'trace', 'why'}
local KEY, INSTANCE, JID, CHATS -- the chat of the moment
local quiet = 0 -- an account rests so long after its last indicator; a script that ends one says so

-- As text. Arguments of `redis.call` need not be: it writes whole numbers in full, unlike Lua's own `..`.
local function whole(n) return string.format('%.0f', n) end

-- FIELDS by name, as they are stored; 0 and '' are not. Written out, since a table that knows its size is made at once.
local function fields(stored)
  return {ticket = tonumber(stored[1] or 0), since = tonumber(stored[2] or 0),
    ['until'] = tonumber(stored[3] or 0), sent = tonumber(stored[4] or 0), doubt = tonumber(stored[5] or 0),
    tries = tonumber(stored[6] or 0), lease = tonumber(stored[7] or 0), ends = tonumber(stored[8] or 0),
    unsure = tonumber(stored[9] or 0), state = stored[10] or '', owner = stored[11] or '', op = stored[12] or '',
    trace = stored[13] or '', why = stored[14] or '', was = false}
end

-- Turn to a chat by its record's key, and read it.
local function load(key)
  KEY = key
  INSTANCE, JID = string.match(key, '^pg:{%d%d}:c:([^:]+):(.+)$')
  CHATS = TAG .. 'chats:' .. INSTANCE
  local stored = redis.call('HMGET', KEY, unpack(FIELDS))
  local rec = fields(stored)
  rec.was = fields(stored)
  return rec
end

local function load_of(instance, jid) return load(TAG .. 'c:' .. instance .. ':' .. jid) end

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

-- The partition's queue follows the first of the instance's chats.
local function follow()
  local first = redis.call('ZRANGE', CHATS, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', QUEUE, first[2], INSTANCE) else redis.call('ZREM', QUEUE, INSTANCE) end
end

-- Wake up at `at`, and not before.
local function wake_at(at)
  redis.call('ZADD', CHATS, at, JID)
  follow()
end

-- As `wake_at`, for what the record owes.
local function arm(rec, at, now_us)
  wake_at(at)
  if at < now_us / 1000 + SOON then redis.call('PUBLISH', 'pg:sooner', string.sub(TAG, 5, 6)) end
  -- Only a record at rest has a time to live.
  if not owes(rec.was) then redis.call('PERSIST', KEY) end
end

local function forget()
  redis.call('ZREM', CHATS, JID)
  follow()
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

-- Refreshes are sent together where they are due together: on the tenths of a second, rather early than late. But never
-- early where what was sent shows for no longer than until the next: there one must not be overlapped by another.
local GRID = 100

-- Wake up for whatever the record still needs: the next refresh, the pause, or nothing.
local function schedule(rec, now_us, refresh, life)
  local now = math.floor(now_us / 1000)
  if rec['until'] > 0 then
    local at = rec['until']
    if rec.state ~= '' and at - rec.sent > life and rec.sent + refresh < at then
      at = rec.sent + refresh
      if refresh < life then at = math.floor(at / GRID) * GRID end
    end
    arm(rec, math.max(at, now), now_us)
    save(rec)
  elseif rec.state ~= '' then
    -- Nobody asked for its end; it is forgotten when the phone has.
    wake_at(now + LINGER)
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
    rec['until'] = rec.ends
  end
  rec.owner, rec.op, rec.lease, rec.ends = '', '', 0, 0
end
