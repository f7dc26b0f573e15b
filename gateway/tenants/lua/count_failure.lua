-- needs: sliding_log
-- Count a wrong key of a client address.
-- KEYS failures of the address
-- ARGV clock (us or ''), most in a minute
-- Returns 1 where the address has guessed too often
local now = clock_ms(ARGV[1])
if trim(KEYS[1], now) >= tonumber(ARGV[2]) then return 1 end
push(KEYS[1], now)
return 0
