#!lua flags=allow-oom
-- needs: claiming
-- Claim what is due, many wake-ups in one step; Redis' own clock says what that is.
-- KEYS '', owed, queue
-- ARGV clock (us or ''), owner, most, lease, echo, places that are free, then each account that holds some and how many
-- Returns a flat list of instance, chat, op, state, ms overdue, tries, trace, why, instance version, account
local now, owner, most = math.floor(clock(ARGV[1]) / 1000), ARGV[2], tonumber(ARGV[3])
local lease, echo = tonumber(ARGV[4]), tonumber(ARGV[5])
local free, held = tonumber(ARGV[6]), {}
for i = 7, #ARGV, 2 do held[ARGV[i]] = tonumber(ARGV[i + 1]) end
local asked, taken, versions, accounts = 'pg:t:' .. owner, {}, {}, {}

-- The most wake-ups that one call looks at: a few milliseconds, where most of what is due belongs to full accounts.
local MOST_LOOKED_AT = 1000
local looked_at = 0

-- An account that holds as much as is free waits. Its wake-ups leave the due ones for a moment, in their order, so that
-- they hide nobody else's; the more are queued the longer, so that looking again costs the same however many they are.
-- The owed set still knows their time.
local wait = 200 + math.floor(redis.call('ZCARD', QUEUE) / 50)

local function version(instance)
  versions[instance] = versions[instance] or keeper(instance)
  return versions[instance]
end

-- Whose a wake-up is; '' for what is none of ours.
local function account(id)
  local instance = string.match(id, '^[^:]*')
  accounts[instance] = accounts[instance] or account_of(instance)
  return accounts[instance]
end

-- What is not ours to do leaves the due ones, so that nobody looks at it again and again. Whether arq marks a job as
-- started does not matter: one call at a time is what the lease is for.
local function look_at(id, again)
  local chat, gen = string.match(id, '^(.+):(%d+)$')
  local whose = account(id)
  looked_at = looked_at + 1
  if not again and (held[whose] or 0) >= free then
    redis.call('ZADD', QUEUE, now + wait + looked_at / MOST_LOOKED_AT, id)
    return
  end
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
    for _, value in ipairs({instance, jid, what, rec.state, overdue, rec.tries, rec.trace, rec.why, version(instance),
      whose}) do
      taken[#taken + 1] = value
    end
    most, free, held[whose] = most - 1, free - 1, (held[whose] or 0) + 1
  end
end

-- Where more is due than is asked for, whoever holds least comes first; of one account, what is the longest due.
local function take_turns(due)
  local turn, place = {}, {}
  for i, id in ipairs(due) do
    local whose = account(id)
    turn[whose] = (turn[whose] or held[whose] or 0) + 1
    place[id] = turn[whose] * #due + i
  end
  table.sort(due, function(one, other) return place[one] < place[other] end)
end

-- Asked again under the same name: the reply was lost, and what was claimed then waits for the end of its lease.
local before = redis.call('GET', asked)
if before then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', QUEUE, before, before)) do look_at(id, true) end
end
while most > 0 and looked_at < MOST_LOOKED_AT do
  local due = redis.call('ZRANGEBYSCORE', QUEUE, '-inf', now, 'LIMIT', 0, 3 * most)
  if #due == 0 then break end
  if #due > most then take_turns(due) end
  for _, id in ipairs(due) do
    if most > 0 then look_at(id) end
  end
end
if #taken > 0 then redis.call('SET', asked, now + lease, 'PX', lease) end
return taken
