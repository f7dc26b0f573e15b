-- needs: audit
-- A line in the audit log for what was changed in many steps.
-- ARGV audit entry
audit(ARGV[1])
