-- needs: sliding_log
-- How much of this minute each window has spent.
-- KEYS windows
-- ARGV clock (us or '')
-- Returns a flat list of stamps in the span, the oldest of them (0 none)
local now, counts = clock_ms(ARGV[1]), {}
for _, window in ipairs(KEYS) do
  local stamps, oldest = peek(window, now)
  counts[#counts + 1] = stamps
  counts[#counts + 1] = stamps > 0 and string.format('%.0f', oldest) or '0'
end
return counts
