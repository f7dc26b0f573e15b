#!lua flags=allow-oom
-- needs: audit, deletion
-- Begin the end of an account and of all its instances: its name is free and every token is dead when this returns.
-- ARGV clock (us or ''), account id, audit entry
-- Returns 'ok' | 'gone'
local now, id, account = clock_ms(ARGV[1]), ARGV[2], 'pg:{t}:account:' .. ARGV[2]
local told = redis.call('HMGET', account, 'name', 'status')
if not told[1] then return 'gone' end
if told[2] == 'deleting' then return 'ok' end
redis.call('HSET', account, 'status', 'deleting')
if redis.call('HGET', 'pg:{t}:accounts', told[1]) == id then redis.call('HDEL', 'pg:{t}:accounts', told[1]) end
for _, hash in ipairs(redis.call('HVALS', account .. ':tokens')) do remove(hash) end
for _, instance in ipairs(redis.call('HVALS', account .. ':instances')) do leave(instance, now) end
redis.call('SADD', LEAVING_ACCOUNTS, id)
audit(ARGV[3])
return 'ok'
