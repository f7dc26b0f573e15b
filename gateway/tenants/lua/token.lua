-- needs: store/clock
-- The end of a token, shared by rotate, revoke, expire and leave: its record and every index that names it.
local EXPIRING = 'pg:expiring'

local function remove(hash)
  local record = 'pg:token:' .. hash
  local told = redis.call('HMGET', record, 'id', 'account', 'instance')
  if not told[1] then return false end
  redis.call('DEL', record)
  redis.call('HDEL', 'pg:tokens', told[1])
  redis.call('HDEL', 'pg:account:' .. told[2] .. ':tokens', told[1])
  if told[3] then redis.call('HDEL', 'pg:instance:' .. told[3] .. ':tokens', told[1]) end
  redis.call('ZREM', EXPIRING, hash)
  return true
end

-- Let it live until `at` at the most, or end it now.
local function retire(hash, now, at)
  if at <= now then return remove(hash) end
  local expires = redis.call('HGET', 'pg:token:' .. hash, 'expires')
  if expires and tonumber(expires) <= at then return end
  redis.call('HSET', 'pg:token:' .. hash, 'expires', string.format('%.0f', at))
  redis.call('ZADD', EXPIRING, string.format('%.0f', at), hash)
end
