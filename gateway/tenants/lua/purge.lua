#!lua flags=allow-oom
-- needs: deletion, sessions
-- The last step of a deletion or a move: what leaves and owes nothing any more is gone, credential and all.
-- KEYS former places
-- ARGV ids of chats that owe nothing, and never will again
-- Returns how many instances, former places and accounts are still leaving

local function purge(record, chats)
  let_go(redis.call('HGET', record, 'uses'), chats)
  redis.call('DEL', record)
end

for _, chats in ipairs(ARGV) do
  if redis.call('SREM', KEYS[1], chats) == 1 then
    purge('pg:{t}:former:' .. chats, chats)
  else
    local id = string.match(chats, '^[^~]+')
    local record = 'pg:{t}:instance:' .. id
    -- What was made again meanwhile, from a backup, stays.
    if redis.call('SREM', LEAVING, id) == 1 then
      purge(record, chats)
      redis.call('DEL', record .. ':tokens')
    end
  end
end

local left, stays = 0, {}
local function count(record)
  left = left + 1
  stays[redis.call('HGET', record, 'account') or ''] = true
end
for _, id in ipairs(redis.call('SMEMBERS', LEAVING)) do count('pg:{t}:instance:' .. id) end
for _, chats in ipairs(redis.call('SMEMBERS', KEYS[1])) do count('pg:{t}:former:' .. chats) end
for _, id in ipairs(redis.call('SMEMBERS', LEAVING_ACCOUNTS)) do
  local account = 'pg:{t}:account:' .. id
  if stays[id] then
    left = left + 1
  else
    redis.call('DEL', account, account .. ':instances', account .. ':tokens')
    redis.call('SREM', LEAVING_ACCOUNTS, id)
  end
end
return left
