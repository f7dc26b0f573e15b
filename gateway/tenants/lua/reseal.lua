-- Put a credential that was encrypted anew in the place of the old, unless it was changed meanwhile.
-- KEYS record
-- ARGV old, new
-- Returns 1 where it was put
if redis.call('HGET', KEYS[1], 'credential') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'credential', ARGV[2])
return 1
