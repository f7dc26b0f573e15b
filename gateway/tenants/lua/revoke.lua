#!lua flags=allow-oom
-- needs: audit, token
-- End one token now.
-- ARGV token id, audit entry
-- Returns 'ok' | 'gone'
local hash = redis.call('HGET', 'pg:{t}:tokens', ARGV[1])
if not hash or not remove(hash) then return 'gone' end
audit(ARGV[2])
return 'ok'
