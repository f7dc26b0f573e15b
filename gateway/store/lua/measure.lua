-- needs: clock
-- How much a partition owes, and how late the oldest of it is, by Redis' own clock; for metrics, changes nothing.
-- KEYS queue
-- ARGV clock (us or '')
-- Returns {owed, retrying, wake-ups due, ms since the oldest was due (0: nothing is overdue)}
local now = clock_ms(ARGV[1])
local tag = string.match(KEYS[1], '^pg:{%d%d}:')
local owed, due = 0, 0
local instances = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #instances, 2 do
  local chats = tag .. 'chats:' .. instances[i]
  owed = owed + redis.call('ZCARD', chats)
  if tonumber(instances[i + 1]) <= now then due = due + redis.call('ZCOUNT', chats, '-inf', now) end
end

-- A failed pause wakes up again in the future, so that the queue alone would call it on time.
local oldest = math.min(now, tonumber(instances[2] or now))
local late = redis.call('ZRANGE', tag .. 'late', 0, 0, 'WITHSCORES')
if late[2] then oldest = math.min(oldest, tonumber(late[2])) end
return {owed, redis.call('ZCARD', tag .. 'late'), due, math.floor(now - oldest)}
