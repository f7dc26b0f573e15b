-- needs: store/clock, sessions
-- What is leaving: instances that are deleted, and where others were before they moved.
-- KEYS instances leaving, former places
-- ARGV clock (us or ''), how long a request that was admitted before may still make a promise (ms)
-- Returns a flat list of id of its chats, 1 where that time has passed, else 0
local before, found = clock_ms(ARGV[1]) - tonumber(ARGV[2]), {}

local function add(chats, record)
  local deleted = redis.call('HGET', record, 'deleted')
  found[#found + 1] = chats
  found[#found + 1] = (not deleted or tonumber(deleted) <= before) and 1 or 0
end

for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local record = 'pg:{t}:instance:' .. id
  add(chats_of(id, redis.call('HGET', record, 'moves')), record)
end
for _, chats in ipairs(redis.call('SMEMBERS', KEYS[2])) do add(chats, 'pg:{t}:former:' .. chats) end
return found
