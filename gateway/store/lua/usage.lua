-- How much of this minute each window has spent.
-- KEYS windows
-- ARGV clock (us or '')
-- Returns a flat list of stamps in the span, the oldest of them (0 none)
local since, counts = clock_ms(ARGV[1]) - 60000, {}
for _, window in ipairs(KEYS) do
  local used, oldest = 0, '0'
  for _, stamp in ipairs(redis.call('LRANGE', window, 0, -1)) do
    if tonumber(stamp) >= since then
      if used == 0 then oldest = stamp end
      used = used + 1
    end
  end
  counts[#counts + 1], counts[#counts + 2] = used, oldest
end
return counts
