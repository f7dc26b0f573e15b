#!lua flags=allow-oom
-- needs: clock
-- What of a partition wakes up within the next while; changes nothing.
-- KEYS queue
-- ARGV clock (us or ''), how far to look ahead (ms), most chats, lease
-- Returns {now (ms), accounts that may rest now (1, else 0), instance, {chat, its time (ms), ...}, instance, {...}, ...}
local now, most = clock_ms(ARGV[1]), tonumber(ARGV[3])
local tag = string.match(KEYS[1], '^pg:{%d%d}:')
local ahead = now + tonumber(ARGV[2])
-- The queue may be late by a lease, where this server took over: what a claim had put off while another chat of the
-- instance was settled is in its score, and the claim is not.
local instances = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ahead + tonumber(ARGV[4]), 'LIMIT', 0, most)
local found = {now, redis.call('ZCOUNT', tag .. 'quiet', '-inf', now) > 0 and 1 or 0}
local function chats_of(instance, most_of_it)
  return redis.call('ZRANGEBYSCORE', tag .. 'chats:' .. instance, '-inf', ahead, 'WITHSCORES', 'LIMIT', 0, most_of_it)
end

-- Each instance has its share of the list, so that one that owes much hides no other; what others leave of theirs goes to
-- those that have more.
local each = math.max(20, math.floor(most / math.max(#instances, 1)))
local left, cut = most, {}
for _, instance in ipairs(instances) do
  local chats = chats_of(instance, each)
  if #chats > 0 then
    found[#found + 1] = instance
    found[#found + 1] = chats
  end
  left = left - #chats / 2
  if #chats / 2 == each then cut[#cut + 1] = #found end
end
local more = #cut > 0 and math.floor(left / #cut) or 0
if more > 0 then
  for _, place in ipairs(cut) do found[place] = chats_of(found[place - 1], each + more) end
end
return found
