-- needs: store/clock
-- How many tokens there are, and the end of one: its record and every index that names it.
local EXPIRING = 'pg:{t}:expiring'

local function remove(hash)
  local record = 'pg:{t}:token:' .. hash
  local told = redis.call('HMGET', record, 'id', 'account', 'instance')
  if not told[1] then return false end
  redis.call('DEL', record)
  redis.call('HDEL', 'pg:{t}:tokens', told[1])
  redis.call('HDEL', 'pg:{t}:account:' .. told[2] .. ':tokens', told[1])
  if told[3] then redis.call('HDEL', 'pg:{t}:instance:' .. told[3] .. ':tokens', told[1]) end
  redis.call('ZREM', EXPIRING, hash)
  return true
end

-- Let it live until `at` at the most, or end it now. Returns when it ends, nothing where it is gone.
local function retire(hash, now, at)
  if at <= now then remove(hash) return nil end
  local expires = tonumber(redis.call('HGET', 'pg:{t}:token:' .. hash, 'expires') or at + 1)
  if expires <= at then return expires end
  redis.call('HSET', 'pg:{t}:token:' .. hash, 'expires', string.format('%.0f', at))
  redis.call('ZADD', EXPIRING, string.format('%.0f', at), hash)
  return at
end

-- Whether an account has as many tokens of its own as it may. Those of its instances stand in the same index: they are
-- taken off only where all together are too many.
local function is_full(account, most)
  most = tonumber(redis.call('HGET', account, 'tokens_quota') or most)
  local count = redis.call('HLEN', account .. ':tokens')
  if count < most then return false end
  for _, instance in ipairs(redis.call('HVALS', account .. ':instances')) do
    count = count - redis.call('HLEN', 'pg:{t}:instance:' .. instance .. ':tokens')
    if count < most then return false end
  end
  return true
end
