-- needs: audit, token
-- Make one more token of an account, unless it has as many as it may. Running it twice changes nothing more.
-- KEYS record of the token, account
-- ARGV most tokens of an account without a quota of its own, JSON list of writes, audit entry
-- Returns 'ok' | 'gone' | 'quota'
if redis.call('EXISTS', KEYS[1]) == 1 then return 'ok' end
local status = redis.call('HGET', KEYS[2], 'status')
if not status or status == 'deleting' then return 'gone' end
if is_full(KEYS[2], tonumber(ARGV[1])) then return 'quota' end
for _, write in ipairs(cjson.decode(ARGV[2])) do redis.call('HSET', unpack(write)) end
audit(ARGV[3])
return 'ok'
