-- needs: admitting
-- Admission in one round trip.
-- KEYS token, window, failures of the address, window over all tokens
-- ARGV clock (us or ''), and what `admit` takes behind its keys
-- Returns as `admit` does
return admit(clock_ms(ARGV[1]), KEYS[1], KEYS[2], KEYS[3], KEYS[4],
  ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]))
