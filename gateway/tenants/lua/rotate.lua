-- needs: audit, token
-- Put a new token in the place of the old; the old ones stay valid for the grace time, or die now.
-- KEYS record of the new token, tokens of the instance (NONE to replace one token of an account), instance (likewise),
--      account
-- ARGV clock (us or ''), grace (ms), id of the old token ('' all of the instance's), JSON list of writes, audit entry,
--      most live tokens of an instance, most tokens of an account without a quota of its own
-- Returns 'ok' | 'gone' | 'quota'
local NONE = 'pg:{t}:'
local now, grace = clock_ms(ARGV[1]), tonumber(ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 1 then return 'ok' end -- we ran already, and the answer was lost
local old
if KEYS[2] ~= NONE then
  if redis.call('HGET', KEYS[3], 'status') ~= 'active' then return 'gone' end
  old = redis.call('HVALS', KEYS[2])
else
  local hash = redis.call('HGET', 'pg:{t}:tokens', ARGV[3])
  if not hash or redis.call('HGET', 'pg:{t}:token:' .. hash, 'expires') then return 'gone' end
  if grace > 0 and is_full(KEYS[4], tonumber(ARGV[7])) then return 'quota' end
  old = {hash}
end
local living = {}
for at, hash in ipairs(old) do
  local ends = retire(hash, now, now + grace)
  if ends then living[#living + 1] = {hash = hash, ends = ends, at = at} end
end
-- What was replaced first ends first, and is listed first where two end together.
table.sort(living, function(a, b) if a.ends == b.ends then return a.at < b.at end return a.ends < b.ends end)
for i = 1, #living + 1 - tonumber(ARGV[6]) do remove(living[i].hash) end
for _, write in ipairs(cjson.decode(ARGV[4])) do redis.call('HSET', unpack(write)) end
audit(ARGV[5])
return 'ok'
