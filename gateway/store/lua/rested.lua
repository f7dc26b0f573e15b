-- An account was told to be unavailable, or could not be told: then it is tried again when its lease has ended.
-- KEYS a partition's queue of resting accounts
-- ARGV instance, '1' where it was told
redis.call('DEL', string.match(KEYS[1], '^pg:{%d%d}:') .. 'q:' .. ARGV[1])
if ARGV[2] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[1] .. ':tries', ARGV[1])
end
return 1
