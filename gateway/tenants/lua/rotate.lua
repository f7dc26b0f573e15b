-- needs: audit, token
-- Put a new token in the place of the old; the old ones stay valid for the grace time, or die now.
-- KEYS record of the new token, tokens of the instance ('' to replace one token of an account), instance ('' likewise)
-- ARGV clock (us or ''), grace (ms), id of the old token ('' all of the instance's), JSON list of writes, audit entry
-- Returns 'ok' | 'gone'
local now = clock_ms(ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 1 then return 'ok' end -- we ran already, and the answer was lost
local old
if KEYS[2] ~= '' then
  if redis.call('HGET', KEYS[3], 'status') ~= 'active' then return 'gone' end
  old = redis.call('HVALS', KEYS[2])
else
  local hash = redis.call('HGET', 'pg:tokens', ARGV[3])
  if not hash or redis.call('HGET', 'pg:token:' .. hash, 'expires') then return 'gone' end
  old = {hash}
end
for _, hash in ipairs(old) do retire(hash, now, now + tonumber(ARGV[2])) end
for _, write in ipairs(cjson.decode(ARGV[4])) do redis.call('HSET', unpack(write)) end
audit(ARGV[5])
return 'ok'
