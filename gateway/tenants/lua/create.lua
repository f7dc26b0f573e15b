-- needs: audit, sessions
-- Claim a name and write everything that belongs to it, or nothing at all. Running it twice changes nothing more.
-- KEYS index (hash name -> id), account that must be there ('pg:{t}:' none)
-- ARGV name, id, most names of an account without a quota of its own, JSON list of keys that must not exist,
--      JSON list of writes {key, field, value, field, value, ...}, audit entry, key of an instance's session ('' none),
--      account id, JSON list of the account's upstream as it was read ('' where that does not matter)
-- Returns 'ok' | 'gone' | 'exists' | 'taken' | 'quota' | 'session' where another account uses it
--         | 'again' where the account's upstream was changed meanwhile
local index, account, name, id, most = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
if account ~= 'pg:{t}:' then
  local told = redis.call('HMGET', account, 'status', 'instances_quota')
  if not told[1] or told[1] == 'deleting' then return 'gone' end
  most = tonumber(told[2] or most)
end
local taken_by = redis.call('HGET', index, name)
if taken_by then return taken_by == id and 'ok' or 'exists' end
if ARGV[9] ~= '' then
  local upstream = redis.call('HMGET', account, 'kind', 'url', 'session', 'credential')
  for i, seen in ipairs(cjson.decode(ARGV[9])) do
    if (upstream[i] or '') ~= seen then return 'again' end
  end
end
if is_taken(ARGV[7], ARGV[8]) then return 'session' end
for _, key in ipairs(cjson.decode(ARGV[4])) do
  if redis.call('EXISTS', key) == 1 then return 'taken' end
end
if account ~= 'pg:{t}:' and redis.call('HLEN', index) >= most then return 'quota' end
redis.call('HSET', index, name, id)
for _, write in ipairs(cjson.decode(ARGV[5])) do redis.call('HSET', unpack(write)) end
hold(ARGV[7], id, ARGV[8])
audit(ARGV[6])
return 'ok'
