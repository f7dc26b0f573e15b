-- What an instance's chats show now.
-- KEYS the instance's chats
-- ARGV most
-- Returns a flat list of chat, state, since, until (0 none)
local tag, instance = string.match(KEYS[1], '^(pg:{%d%d}:)chats:(.+)$')
local most, found = tonumber(ARGV[1]), {}
-- Twice as many as are wanted: some of them owe only an echo, and show nothing.
for _, jid in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, most * 2)) do
  if #found >= most * 4 then return found end
  local told = redis.call('HMGET', tag .. 'c:' .. instance .. ':' .. jid, 'state', 'since', 'until', 'why')
  if told[1] then
    -- A natural end is none that was asked for.
    local ends = told[4] ~= 'natural' and told[3] or '0'
    for _, value in ipairs({jid, told[1], told[2] or '0', ends}) do found[#found + 1] = value end
  end
end
return found
