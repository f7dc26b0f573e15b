-- needs: promising
-- A promise in one round trip.
-- KEYS record, owed, queue
-- ARGV clock (us or ''), and what `promise` takes
-- Returns as `promise` does
return promise(clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]),
  tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9]))
