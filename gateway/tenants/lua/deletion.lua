-- needs: token
-- The first step of a deletion, shared by instance and account: nobody gets in any more, what is owed stays.
local LEAVING, LEAVING_ACCOUNTS = 'pg:{t}:leaving', 'pg:{t}:leaving:accounts'

-- The instance keeps its record, and so its credential, until its last pause is delivered (`purge`).
local function leave(id, now)
  local record = 'pg:{t}:instance:' .. id
  local told = redis.call('HMGET', record, 'account', 'name', 'status')
  if not told[1] then return 'gone' end
  if told[3] == 'deleting' then return 'ok' end
  redis.call('HSET', record, 'status', 'deleting', 'deleted', string.format('%.0f', now))
  local index = 'pg:{t}:account:' .. told[1] .. ':instances'
  if redis.call('HGET', index, told[2]) == id then redis.call('HDEL', index, told[2]) end
  for _, hash in ipairs(redis.call('HVALS', record .. ':tokens')) do remove(hash) end
  redis.call('SADD', LEAVING, id)
  return 'ok'
end
