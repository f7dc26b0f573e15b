-- needs: store/clock
-- Count a wrong key of a client address, or only look.
-- KEYS failures of the address
-- ARGV clock (us or ''), most in a minute, '1' to count one more
-- Returns 1 where the address has guessed too often
local now = clock_ms(ARGV[1])
local oldest = redis.call('LINDEX', KEYS[1], 0)
while oldest and tonumber(oldest) < now - 60000 do
  redis.call('LPOP', KEYS[1])
  oldest = redis.call('LINDEX', KEYS[1], 0)
end
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[2]) then return 1 end
if ARGV[3] == '1' then
  redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], 61000)
end
return 0
