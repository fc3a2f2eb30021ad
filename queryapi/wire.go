package queryapi

import (
	"fmt"
	"math/big"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
)

var problemType = reflect.TypeFor[Problem]()

// Decimal is an amount of credits as JSON has it: the shortest exact decimal.
type Decimal string

// TransformSchema documents the format.
func (Decimal) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	schema.Pattern = `^-?[0-9]+(\.[0-9]{1,6})?$`
	schema.Examples = []any{"12.5"}
	return schema
}

// nullable lets properties that are structs be null.
func nullable(schema *huma.Schema, properties ...string) *huma.Schema {
	for _, name := range properties {
		property := schema.Properties[name]
		schema.Properties[name] = &huma.Schema{
			Description: property.Description,
			AnyOf:       []*huma.Schema{{Ref: property.Ref}, {Type: "null"}},
		}
	}
	return schema
}

func decimal(t schemas.Total) Decimal { return Decimal(t.String()) }

// Instant is an instant as JSON has it: RFC 3339 in UTC, with milliseconds
// where there are any.
type Instant string

// TransformSchema documents the format.
func (Instant) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	schema.Format = "date-time"
	return schema
}

func instant(at schemas.Millis) Instant {
	t := time.UnixMilli(int64(at)).UTC()
	if at%1000 == 0 {
		return Instant(t.Format("2006-01-02T15:04:05Z"))
	}
	return Instant(t.Format("2006-01-02T15:04:05.000Z"))
}

// instantOrNull is null for NoInstant.
func instantOrNull(at schemas.Millis) *Instant {
	if at == schemas.NoInstant {
		return nil
	}
	text := instant(at)
	return &text
}

// stringOrNull is null for the empty string.
func stringOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// scaled returns t * numerator / denominator, rounded half away from zero; the
// product may be wider than 128 bits, the result may not.
func scaled(t schemas.Total, numerator, denominator int64) (schemas.Total, error) {
	product := t.Big()
	product.Mul(product, big.NewInt(numerator))
	half := big.NewInt(denominator / 2)
	if product.Sign() < 0 {
		half.Neg(half)
	}
	product.Add(product, half)
	product.Quo(product, big.NewInt(denominator))
	result, err := schemas.TotalFromBig(product)
	if err != nil {
		return schemas.Total{}, fmt.Errorf("cannot scale %v by %d/%d: %w", t, numerator, denominator, err)
	}
	return result, nil
}

func millisOf(t time.Time) schemas.Millis { return schemas.Millis(t.UnixMilli()) }

func timeOf(at schemas.Millis) time.Time { return time.UnixMilli(int64(at)).UTC() }
