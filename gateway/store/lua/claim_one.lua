#!lua flags=allow-oom
-- needs: claiming
-- A single wake-up asks what to tell the upstream now, and takes the lease for it.
-- KEYS record, owed, queue
-- ARGV clock (us or ''), owner, generation, lease, echo
-- Returns {'go', op, state, ms overdue, tries, trace, why, instance version} | {'early', ms} | {'busy'} | {'outdated'}
local now = math.floor(clock(ARGV[1]) / 1000)
local rec = load()
local verdict, what, overdue = claim(rec, tonumber(ARGV[3]), ARGV[2], now, tonumber(ARGV[4]), tonumber(ARGV[5]))
if verdict == 'early' then return {verdict, what - now} end
if verdict ~= 'go' then return {verdict} end
return {verdict, what, rec.state, overdue, rec.tries, rec.trace, rec.why, keeper(string.match(KEY, '^pg:c:([^:]+):'))}
