package schemas

// InsertOnce are the settings of an INSERT that stands once however often it is
// sent under a token. Settings of the user's profile do not count: the newer name
// overrules the older one, so both are pinned.
func InsertOnce(token string) map[string]any {
	return map[string]any{
		"async_insert": 0, "insert_deduplicate": 1, "deduplicate_insert": "enable",
		"insert_deduplication_token": token,
	}
}
