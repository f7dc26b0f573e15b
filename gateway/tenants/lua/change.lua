-- needs: audit
-- Change fields of an account or an instance that is there and not leaving.
-- KEYS record, index of instances that must be decoded anew ('' none)
-- ARGV JSON list of fields and values to set, JSON list of fields to drop, new version of those instances, audit entry
-- Returns 'ok' | 'gone'
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'deleting' then return 'gone' end
local set, dropped = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
if #set > 0 then redis.call('HSET', KEYS[1], unpack(set)) end
if #dropped > 0 then redis.call('HDEL', KEYS[1], unpack(dropped)) end
if KEYS[2] ~= '' then
  for _, id in ipairs(redis.call('HVALS', KEYS[2])) do
    redis.call('HSET', 'pg:instance:' .. id, 'version', ARGV[3])
  end
end
audit(ARGV[4])
return 'ok'
