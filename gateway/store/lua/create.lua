-- Claim a name and write everything that belongs to it, or nothing at all.
-- KEYS index (hash name -> id)
-- ARGV name, id, most names (0: no quota), JSON list of keys that must not exist,
--      JSON list of writes {key, field, value, field, value, ...}
-- Returns 'ok' | 'exists' | 'taken' | 'quota'
local index, name, id, most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HEXISTS', index, name) == 1 then return 'exists' end
for _, key in ipairs(cjson.decode(ARGV[4])) do
  if redis.call('EXISTS', key) == 1 then return 'taken' end
end
if most > 0 and redis.call('HLEN', index) >= most then return 'quota' end
redis.call('HSET', index, name, id)
for _, write in ipairs(cjson.decode(ARGV[5])) do redis.call('HSET', unpack(write)) end
return 'ok'
