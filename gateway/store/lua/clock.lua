-- Redis' own clock, unless a test brings one (microseconds). Every script begins with this.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

local function clock_ms(given) return math.floor(clock(given) / 1000) end
