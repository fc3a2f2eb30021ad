package main

import (
	"fmt"

	"github.com/drawdown/drawdown/queryapi"
)

// openapiCmd prints the document that the API serves and docs/openapi.json is.
type openapiCmd struct{}

// Run prints it; nothing is connected to.
func (openapiCmd) Run(e *env) error {
	document, err := queryapi.OpenAPI()
	if err != nil {
		return err
	}
	if _, err := e.Stdout.Write(document); err != nil {
		return fmt.Errorf("cannot print the document: %w", err)
	}
	return nil
}
