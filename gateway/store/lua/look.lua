#!lua flags=allow-oom
-- needs: clock
-- What of a partition wakes up within the next while; changes nothing.
-- KEYS queue
-- ARGV clock (us or ''), how far to look ahead (ms), most chats
-- Returns {now (ms), accounts that may rest now (1, else 0), instance, {chat, its time (ms), ...}, instance, {...}, ...}
local now, most = clock_ms(ARGV[1]), tonumber(ARGV[3])
local tag = string.match(KEYS[1], '^pg:{%d%d}:')
local ahead = now + tonumber(ARGV[2])
local instances = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ahead, 'LIMIT', 0, most)
local found = {now, redis.call('ZCOUNT', tag .. 'quiet', '-inf', now) > 0 and 1 or 0}
-- Each instance has its share of the list, so that one that owes much hides no other.
local each = math.max(20, math.floor(most / math.max(#instances, 1)))
for _, instance in ipairs(instances) do
  found[#found + 1] = instance
  found[#found + 1] = redis.call('ZRANGEBYSCORE', tag .. 'chats:' .. instance, '-inf', ahead, 'WITHSCORES',
    'LIMIT', 0, each)
end
return found
