package tenancy

// maxTokenID is the longest id of an API token, in bytes.
const maxTokenID = 64

func notAlphanumeric(r rune) bool { return notTenantRune(r) || r == '_' || r == '-' }
