-- Whether an instance still owes anything, or is to be made unavailable.
-- KEYS its chats
-- Returns 1 or 0
local tag, instance = string.match(KEYS[1], '^(pg:{%d%d}:)chats:(.+)$')
return (redis.call('EXISTS', KEYS[1]) == 1 or redis.call('ZSCORE', tag .. 'quiet', instance)) and 1 or 0
