package forecast

import (
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// calendar turns instants into hours of the week on a local clock. It keeps
// the offset that holds around the last instant, because looking one up for
// every hour would cost more than the forecast.
type calendar struct {
	zone     *time.Location
	from, to schemas.Millis // where offset holds
	offset   schemas.Millis
}

func calendarOf(zone *time.Location) *calendar {
	if zone == nil {
		zone = time.UTC
	}
	return &calendar{zone: zone}
}

// mondayOffset makes hour 0 a Monday's first: 1970-01-01 was a Thursday.
const mondayOffset = 3 * hoursPerDay

// hourOfWeek is 0 for the hour that starts Monday 00:00 on the local clock,
// 167 for the last one of Sunday. In zones that are off by a part of an hour,
// it is the local hour in which the hour of UTC starts.
func (c *calendar) hourOfWeek(at schemas.Millis) uint8 {
	if at < c.from || at >= c.to {
		c.lookUp(at)
	}
	hour := int64(floorHour(at+c.offset)/hourMillis) + mondayOffset
	return uint8(((hour % hoursPerWeek) + hoursPerWeek) % hoursPerWeek)
}

func (c *calendar) lookUp(at schemas.Millis) {
	local := time.UnixMilli(int64(at)).In(c.zone)
	_, seconds := local.Zone()
	c.offset = schemas.Millis(seconds) * 1000
	const always = schemas.Millis(1) << 60
	c.from, c.to = -always, always
	start, end := local.ZoneBounds()
	if !start.IsZero() {
		c.from = schemas.Millis(start.UnixMilli())
	}
	if !end.IsZero() {
		c.to = schemas.Millis(end.UnixMilli())
	}
}
