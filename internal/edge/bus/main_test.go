package bus_test

import (
	"testing"

	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }
