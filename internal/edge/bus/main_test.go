package bus_test

import (
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/natsd/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }
