-- needs: store/clock
-- How much of this minute each window has spent.
-- KEYS windows
-- ARGV clock (us or '')
-- Returns a flat list of stamps in the span, the oldest of them (0 none)
local since, counts = clock_ms(ARGV[1]) - 60000, {}
for _, window in ipairs(KEYS) do
  -- Stamps are in order, so that the first one of the span is found in a few looks.
  local length = redis.call('LLEN', window)
  local low, high = 0, length
  while low < high do
    local middle = math.floor((low + high) / 2)
    if tonumber(redis.call('LINDEX', window, middle)) < since then low = middle + 1 else high = middle end
  end
  counts[#counts + 1] = length - low
  counts[#counts + 1] = low < length and redis.call('LINDEX', window, low) or '0'
end
return counts
