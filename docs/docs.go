// Package docs has the documents that are served beside the page.
package docs

import _ "embed" // the documents

// Webhooks is for whoever receives alerts, in GitHub's Markdown.
//
//go:embed webhooks.md
var Webhooks []byte
