-- needs: audit
-- Change fields of an account that is there and not leaving.
-- KEYS account
-- ARGV JSON list of fields and values to set, JSON list of fields to drop, audit entry
-- Returns 'ok' | 'gone'
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'deleting' then return 'gone' end
local set, dropped = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
if #set > 0 then redis.call('HSET', KEYS[1], unpack(set)) end
if #dropped > 0 then redis.call('HDEL', KEYS[1], unpack(dropped)) end
audit(ARGV[3])
return 'ok'
