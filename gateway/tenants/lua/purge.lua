#!lua flags=allow-oom
-- needs: deletion, sessions
-- The last step of a deletion or a move: what leaves and owes nothing any more is gone, credential and all.
-- ARGV clock (us or ''), how long a request that was admitted before may still make a promise (ms)
-- Returns how many instances, former upstreams and accounts are still leaving
local FORMERS = 'pg:leaving:upstreams'
local now, grace = clock_ms(ARGV[1]), tonumber(ARGV[2])
local left, stays = 0, {}

-- One that still owes, or may yet, or is to be made unavailable, stays; else its session is free.
local function purge(record, chats)
  local told = redis.call('HMGET', record, 'account', 'deleted', 'uses')
  local index = 'pg:chats:' .. chats
  if told[1] and (tonumber(told[2]) + grace > now or redis.call('ZCOUNT', index, '+inf', '+inf') > 0
      or redis.call('ZSCORE', 'pg:quiet', chats)) then
    left, stays[told[1]] = left + 1, true
    return false
  end
  let_go(told[3], chats)
  redis.call('DEL', record, index, 'pg:ends:' .. chats)
  return true
end

for _, id in ipairs(redis.call('SMEMBERS', LEAVING)) do
  local record = 'pg:instance:' .. id
  if purge(record, chats_of(id, redis.call('HGET', record, 'moves'))) then
    redis.call('DEL', record .. ':tokens')
    redis.call('SREM', LEAVING, id)
  end
end
for _, chats in ipairs(redis.call('SMEMBERS', FORMERS)) do
  if purge('pg:former:' .. chats, chats) then redis.call('SREM', FORMERS, chats) end
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
