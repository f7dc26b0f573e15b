#!lua flags=allow-oom
-- needs: claiming
-- Claim what is due, many wake-ups in one step; Redis' own clock says what that is.
-- KEYS '', owed, queue
-- ARGV clock (us or ''), owner, most, lease, echo
-- Returns a flat list of instance, chat, op, state, ms overdue, tries, trace, why, instance version
local now, owner, most = math.floor(clock(ARGV[1]) / 1000), ARGV[2], tonumber(ARGV[3])
local lease, echo = tonumber(ARGV[4]), tonumber(ARGV[5])
local asked, taken, versions = 'pg:t:' .. owner, {}, {}

local function version(instance)
  versions[instance] = versions[instance] or keeper(instance)
  return versions[instance]
end

-- What is not ours to do leaves the due ones, so that nobody looks at it again and again. Whether arq marks a job as
-- started does not matter: one call at a time is what the lease is for.
local function look_at(id, again)
  local chat, gen = string.match(id, '^(.+):(%d+)$')
  KEY = 'pg:c:' .. (chat or id)
  local rec = load()
  if again and rec.owner ~= owner then return end
  local verdict, what, overdue = claim(rec, tonumber(gen), owner, now, lease, echo)
  if verdict == 'outdated' then
    redis.call('ZREM', QUEUE, id)
    redis.call('DEL', 'arq:job:' .. id)
  elseif verdict ~= 'go' then
    redis.call('ZADD', QUEUE, what, id)
  else
    local instance, jid = string.match(chat, '^([^:]+):(.+)$')
    for _, value in ipairs({instance, jid, what, rec.state, overdue, rec.tries, rec.trace, rec.why, version(instance)}) do
      taken[#taken + 1] = value
    end
    most = most - 1
  end
end

-- Asked again under the same name: the reply was lost, and what was claimed then waits for the end of its lease.
local before = redis.call('GET', asked)
if before then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', QUEUE, before, before)) do look_at(id, true) end
end
if most > 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', QUEUE, '-inf', now, 'LIMIT', 0, most)) do look_at(id) end
end
if #taken > 0 then redis.call('SET', asked, now + lease, 'PX', lease) end
return taken
