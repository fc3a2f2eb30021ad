package queryapi

import (
	"bytes"
	"fmt"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

// The document about webhooks is served as a page, so that who sets up a
// receiver reads it where the rule is made. It is ours: nothing a client sends
// is in it.

const webhooksHead = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Receiving alerts · Drawdown</title>
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<main id="main" tabindex="-1">
`

const webhooksFoot = `<p>The operations are in the <a href="/docs">API documentation</a>.</p>
</main>
</body>
</html>
`

// webhooksOf renders a document in GitHub's Markdown as a page with the style
// of /docs. Raw HTML in it is left out.
func webhooksOf(markdown []byte) ([]byte, error) {
	render := goldmark.New(
		goldmark.WithExtensions(extension.Table),
		// Sections can be linked to.
		goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	)
	out := bytes.NewBufferString(webhooksHead)
	if err := render.Convert(markdown, out); err != nil {
		return nil, fmt.Errorf("cannot render the document about webhooks: %w", err)
	}
	out.WriteString(webhooksFoot)
	return out.Bytes(), nil
}
