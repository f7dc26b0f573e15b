#!lua flags=allow-oom
-- needs: leaving
-- The last step of a deletion: what leaves and owes nothing any more is gone, credential and all.
-- ARGV clock (us or ''), how long a request that was admitted before may still make a promise (ms)
-- Returns how many instances and accounts are still leaving
local now, hold = clock_ms(ARGV[1]), tonumber(ARGV[2])
local left, stays = 0, {}
for _, id in ipairs(redis.call('SMEMBERS', LEAVING)) do
  local record, chats = 'pg:instance:' .. id, 'pg:chats:' .. id
  local told = redis.call('HMGET', record, 'account', 'deleted')
  if told[1] and (tonumber(told[2]) + hold > now or redis.call('ZCOUNT', chats, '+inf', '+inf') > 0) then
    left, stays[told[1]] = left + 1, true
  else
    redis.call('DEL', record, record .. ':tokens', chats)
    redis.call('SREM', LEAVING, id)
  end
end
for _, id in ipairs(redis.call('SMEMBERS', LEAVING_ACCOUNTS)) do
  local account = 'pg:account:' .. id
  if stays[id] then
    left = left + 1
  else
    redis.call('DEL', account, account .. ':instances', account .. ':tokens')
    redis.call('SREM', LEAVING_ACCOUNTS, id)
  end
end
return left
