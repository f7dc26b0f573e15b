-- needs: clock
-- A chat's record and its arming, shared by promise, settle, claim and sweep. Instants and spans are milliseconds.
--
-- The record (a hash) is the truth; an arq job is only a wake-up. Fields:
--   gen     the current arming; a job of any other generation does nothing
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
local KEY, OWED, QUEUE = KEYS[1], KEYS[2], KEYS[3]
local JOB_TTL = 86400000 -- arq drops a job whose blob has gone; a day outlives any downtime we promise for
local TOMBSTONE = 30000  -- longer than any command waits for the lease, so that it still learns it was overtaken
local LINGER = 30000     -- an indicator without an end: the phone drops it long before

local LATE = 'pg:late' -- records whose pause has failed, by its own time; the owed set knows only the next try

local FIELDS = {'gen', 'ticket', 'since', 'until', 'sent', 'doubt', 'tries', 'lease', 'ends', 'unsure',
  'state', 'owner', 'op', 'trace', 'why'}
local QUIET = 'pg:quiet' -- instances whose account is to be unavailable soon, by when
local quiet = 0          -- so long after the instance's last indicator; a script that ends one says so

-- As text. Arguments of `redis.call` need not be: it writes whole numbers in full, unlike Lua's own `..`.
local function whole(n) return string.format('%.0f', n) end

-- What the index of the instance's chats holds of a record.
local function owes(rec) return rec.owner ~= '' or rec['until'] > 0 end

-- FIELDS by name, as they are stored; 0 and '' are not. Written out, since a table that knows its size is made at once.
local function fields(stored)
  return {gen = tonumber(stored[1] or 0), ticket = tonumber(stored[2] or 0), since = tonumber(stored[3] or 0),
    ['until'] = tonumber(stored[4] or 0), sent = tonumber(stored[5] or 0), doubt = tonumber(stored[6] or 0),
    tries = tonumber(stored[7] or 0), lease = tonumber(stored[8] or 0), ends = tonumber(stored[9] or 0),
    unsure = tonumber(stored[10] or 0), state = stored[11] or '', owner = stored[12] or '', op = stored[13] or '',
    trace = stored[14] or '', why = stored[15] or '', was = false}
end

local function load()
  local stored = redis.call('HMGET', KEY, unpack(FIELDS))
  local rec = fields(stored)
  rec.was = fields(stored)
  return rec
end

-- The instance's chats: one that owes stays until it is settled, one without an end lingers as long as its record.
local function index(rec)
  local owed = owes(rec.was)
  if owes(rec) and owed then return end
  local instance, jid = string.match(KEY, '^pg:c:([^:]+):(.+)$')
  local chats = 'pg:chats:' .. instance
  if owes(rec) then
    redis.call('ZADD', chats, '+inf', jid)
    redis.call('PERSIST', chats)
  elseif rec.state ~= '' then
    local now = math.floor(clock('') / 1000) -- as its record's TTL, which no test's clock moves
    redis.call('ZADD', chats, now + LINGER, jid)
    redis.call('ZREMRANGEBYSCORE', chats, '-inf', now)
  elseif owed or rec.was.state ~= '' then
    redis.call('ZREM', chats, jid)
  end
  if not owes(rec) and redis.call('ZCOUNT', chats, '+inf', '+inf') == 0 then redis.call('PEXPIRE', chats, LINGER) end
end

-- Write what has changed.
local function save(rec)
  index(rec)
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

local function job_id(gen) return string.sub(KEY, 6) .. ':' .. whole(gen) end -- without 'pg:c:'

-- A generation is a time in microseconds, so that none is ever used twice, even after the record has gone.
local function next_gen(rec, now_us)
  if rec.gen > 0 then
    local id = job_id(rec.gen)
    redis.call('ZREM', QUEUE, id)
    redis.call('DEL', 'arq:job:' .. id)
  end
  rec.gen = math.max(rec.gen + 1, now_us)
end

-- Wake up at `at`. The older wake-up is outdated by its generation; removing it only saves room. One that nobody can
-- have started (`unstarted`) is moved instead.
local function arm(rec, at, now_us)
  if not rec.unstarted then
    next_gen(rec, now_us)
  end
  local id = job_id(rec.gen)
  if not rec.unstarted then
    -- As arq's own serialiser would; neither an instance's id nor a JID has a character that JSON escapes.
    local place, gen = string.gsub(string.sub(KEY, 6), ':', '","', 1), whole(rec.gen)
    local job = '{"t":1,"f":"wake","a":["' .. place .. '","' .. gen .. '"],"k":{},"et":0}'
    redis.call('SET', 'arq:job:' .. id, job, 'PX', math.floor(math.max(at - now_us / 1000, 0)) + JOB_TTL)
  end
  redis.call('ZADD', QUEUE, at, id)
  redis.call('ZADD', OWED, at, KEY)
  -- Only a record at rest has a time to live.
  if not owes(rec.was) then redis.call('PERSIST', KEY) end
end

local function rest(rec, now_us, ttl)
  next_gen(rec, now_us)
  redis.call('ZREM', OWED, KEY)
  save(rec)
  redis.call('PEXPIRE', KEY, ttl)
end

-- The account need not be online for this chat any more. Whoever takes it up looks whether another shows by then.
local function rest_account(rec, now_us)
  if quiet == 0 or (rec.was.state == '' and rec.was['until'] == 0) then return end
  redis.call('ZADD', QUIET, math.floor(now_us / 1000) + quiet, string.match(KEY, '^pg:c:([^:]+)'))
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
    rest(rec, now_us, TOMBSTONE)
  end
end

-- Arm whatever the record still needs: the next refresh, the pause, or nothing.
local function schedule(rec, now_us, refresh, life)
  local now = math.floor(now_us / 1000)
  if rec['until'] > 0 then
    local at = rec['until']
    if rec.state ~= '' and at - rec.sent > life then at = math.min(at, rec.sent + refresh) end
    arm(rec, math.max(at, now), now_us)
    save(rec)
  elseif rec.state ~= '' then
    rest(rec, now_us, LINGER)
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
