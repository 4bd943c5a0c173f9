import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Prints changes of warnings as they are committed, and keeps the set of open warnings, across restarts.
 *
 * <pre>java -cp 'JARS/*' OpenWarnings.java --brokers localhost:9092 --state open.json [--prefix city.] [--once]</pre>
 *
 * JARS: kafka-clients and jackson-databind with what they need. What matters in it:
 *
 * <ul>
 * <li>isolation.level=read_committed: records of transactions that were aborted never counted.
 * <li>The open set is the table out.warning.state: the last record of each key is its row, a null payload deletes it.
 * <li>Offsets and the set are kept together, in one file that is replaced as a whole: however it ends, it goes on from there. A change may
 * then be printed twice, and none is left out.
 * <li>Topics keep deletions for a day (delete.retention.ms). Who was away for longer reads the table from its beginning.
 * <li>Fields that it does not know are passed over; so are kinds of changes.
 * </ul>
 */
public final class OpenWarnings {
    private static final String TABLE = "out.warning.state";
    private static final String CHANGES = "out.warning.delta";

    /** In seconds; less than delete.retention.ms. */
    private static final long LONGEST_AWAY = 12 * 3_600;

    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path path;
    private final String prefix;
    /** What has to last: how far each partition was read, and the warnings that are open. */
    private final ObjectNode offsets;
    private final ObjectNode open;

    private OpenWarnings(Path path, String prefix) throws IOException {
        this.path = path;
        this.prefix = prefix;
        ObjectNode saved = Files.exists(path) ? (ObjectNode) JSON.readTree(path.toFile()) : JSON.createObjectNode();
        offsets = saved.withObject("/offsets");
        open = saved.withObject("/open");
        if (now() - saved.path("saved").asLong() > LONGEST_AWAY) {
            offsets.remove(TABLE);
            open.removeAll();
        }
    }

    private static long now() {
        return System.currentTimeMillis() / 1_000;
    }

    private void save() throws IOException {
        ObjectNode saved = JSON.createObjectNode().put("saved", now());
        saved.set("offsets", offsets);
        saved.set("open", open);
        Path next = path.resolveSibling(path.getFileName() + ".new");
        Files.write(next, JSON.writeValueAsBytes(saved));
        try (FileChannel file = FileChannel.open(next, StandardOpenOption.WRITE)) {
            file.force(true);
        }
        Files.move(next, path, StandardCopyOption.ATOMIC_MOVE);
    }

    /** Applies a record, and prints it if it is a change. */
    private void take(ConsumerRecord<String, String> record) throws IOException {
        String topic = record.topic().substring(prefix.length());
        ObjectNode read = offsets.has(topic) ? (ObjectNode) offsets.get(topic) : offsets.putObject(topic);
        read.put(Integer.toString(record.partition()), record.offset() + 1);
        if (topic.equals(TABLE)) {
            if (record.value() == null) {
                open.remove(record.key());
            } else {
                open.set(record.key(), JSON.readTree(record.value()));
            }
            return;
        }
        JsonNode change = JSON.readTree(record.value());
        System.out.printf("%s %s %s/%s %s->%s%n", text(change, "epoch"), text(change, "kind"), text(change, "rule"),
                text(change, "asset"), text(change, "from"), text(change, "to"));
    }

    private static String text(JsonNode change, String name) {
        return change.path(name).asText();
    }

    /** All partitions of both topics, each from where it was left. */
    private List<TopicPartition> assign(KafkaConsumer<String, String> consumer) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (String topic : List.of(TABLE, CHANGES)) {
            for (PartitionInfo info : consumer.partitionsFor(prefix + topic)) {
                partitions.add(new TopicPartition(info.topic(), info.partition()));
            }
        }
        consumer.assign(partitions);
        for (TopicPartition partition : partitions) {
            String topic = partition.topic().substring(prefix.length());
            JsonNode offset = offsets.path(topic).path(Integer.toString(partition.partition()));
            if (offset.isMissingNode()) {
                consumer.seekToBeginning(List.of(partition));
            } else {
                consumer.seek(partition, offset.asLong());
            }
        }
        return partitions;
    }

    private void run(KafkaConsumer<String, String> consumer, boolean once) throws IOException {
        List<TopicPartition> partitions = assign(consumer);
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
        boolean goesOn = true;
        while (goesOn) {
            ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(500));
            for (ConsumerRecord<String, String> record : records) {
                take(record);
            }
            if (!records.isEmpty()) {
                save();
            }
            goesOn = !once || partitions.stream().anyMatch(one -> consumer.position(one) < ends.get(one));
        }
        System.out.println(open.size() + " open");
    }

    public static void main(String[] arguments) throws IOException {
        String brokers = "localhost:9092";
        String prefix = "";
        String state = "open-warnings.json";
        boolean once = false;
        for (int place = 0; place < arguments.length; place++) {
            switch (arguments[place]) {
                case "--brokers" -> brokers = arguments[++place];
                case "--prefix" -> prefix = arguments[++place];
                case "--state" -> state = arguments[++place];
                case "--once" -> once = true;
                default -> {
                    System.err.println("`" + arguments[place] + "` is none of --brokers, --prefix, --state, --once");
                    System.exit(2);
                }
            }
        }
        Properties properties = new Properties();
        properties.put("bootstrap.servers", brokers);
        // Partitions are assigned by hand, and offsets kept in the file.
        properties.put("enable.auto.commit", "false");
        properties.put("isolation.level", "read_committed");
        properties.put("auto.offset.reset", "earliest");
        properties.put("key.deserializer", StringDeserializer.class.getName());
        properties.put("value.deserializer", StringDeserializer.class.getName());
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(properties)) {
            new OpenWarnings(Path.of(state), prefix).run(consumer, once);
        }
    }
}
