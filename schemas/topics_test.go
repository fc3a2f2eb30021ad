package schemas

import (
	"net"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"pgregory.net/rapid"
)

func TestPartitionOfKnownWorkspaces(t *testing.T) {
	// crc32, librdkafka's default, has ws_initech in 3.
	for workspace, want := range map[string]int{"ws_acme": 0, "ws_initech": 0} {
		if got := Partition([]byte(workspace), 4); got != want {
			t.Errorf("Partition(%s, 4) = %d, want %d", workspace, got, want)
		}
	}
	// The test vectors of Kafka's UtilsTest.testMurmur2.
	for key, want := range map[string]int32{"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%s) = %d, want %d", key, got, want)
		}
	}
}

func TestPartitionEqualsKafkaGoMurmur2Balancer(t *testing.T) {
	balancer := kafka.Murmur2Balancer{Consistent: true}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "key")
		n := rapid.IntRange(1, 300).Draw(t, "partitions")
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		if got, want := Partition(key, n), balancer.Balance(kafka.Message{Key: key}, all...); got != want {
			t.Fatalf("Partition(%q, %d) = %d, want %d", key, n, got, want)
		}
	})
}

func newBroker(t *testing.T) *kafka.Client {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatalf("cannot start a broker: %v", err)
	}
	t.Cleanup(cluster.Close)
	addr, err := net.ResolveTCPAddr("tcp", cluster.ListenAddrs()[0])
	if err != nil {
		t.Fatalf("cannot resolve the broker: %v", err)
	}
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: addr, Transport: transport}
}

func TestCreateTopicsTwiceChangesNothing(t *testing.T) {
	client := newBroker(t)
	config := CreateTopicsConfig{Topics: DefaultTopics(), Partitions: 4, ConsumptionRetention: UnlimitedRetention}
	for range 2 {
		if err := CreateTopics(t.Context(), client, config); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]map[string]string{
		"credits.consumption": {"retention.ms": "-1", "cleanup.policy": "delete", "max.message.bytes": "16777216"},
		"credits.ledger":      {"retention.ms": "-1", "cleanup.policy": "delete", "max.message.bytes": "16777216"},
		"credits.campaigns":   {"retention.ms": "-1", "cleanup.policy": "delete", "max.message.bytes": "16777216"},
		"credits.alerts":      {"retention.ms": "1209600000", "cleanup.policy": "delete", "max.message.bytes": "16777216"},
	}
	for name, entries := range want {
		answer, err := client.DescribeConfigs(t.Context(), &kafka.DescribeConfigsRequest{
			Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: name}},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, entry := range answer.Resources[0].ConfigEntries {
			got[entry.ConfigName] = entry.ConfigValue
		}
		for key, value := range entries {
			if got[key] != value {
				t.Errorf("%s of %s = %q, want %q", key, name, got[key], value)
			}
		}
	}
}

func TestCreateTopicsSaysWhichPartitionCountDiffers(t *testing.T) {
	client := newBroker(t)
	config := CreateTopicsConfig{Topics: DefaultTopics(), Partitions: 4}
	if err := CreateTopics(t.Context(), client, config); err != nil {
		t.Fatal(err)
	}
	config.Partitions = 12
	err := CreateTopics(t.Context(), client, config)
	if err == nil || !strings.Contains(err.Error(), "topic credits.ledger has 4 partitions, 12 are configured") {
		t.Fatalf("CreateTopics with another partition count = %v", err)
	}
	if CreateTopics(t.Context(), client, CreateTopicsConfig{Topics: DefaultTopics()}) == nil {
		t.Fatal("CreateTopics without partitions succeeded")
	}
}

func TestTopicsNameAndRoleAreInverse(t *testing.T) {
	topics := Topics{Consumption: "a", Ledger: "b", Campaigns: "c", Alerts: "d"}
	for _, role := range []Topic{ConsumptionTopic, LedgerTopic, CampaignsTopic, AlertsTopic} {
		if got, ok := topics.Role(topics.Name(role)); !ok || got != role {
			t.Errorf("Role(Name(%s)) = %s, %v", role, got, ok)
		}
	}
	if role, ok := topics.Role("e"); ok {
		t.Errorf("Role(e) = %s", role)
	}
}
