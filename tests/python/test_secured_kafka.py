"""A Kafka that asks who is there and encrypts: TLS and SASL as Java's options name them, against a real broker."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kafka_broker import KafkaBroker, free_ports, java
from small_programs import no_trace_of_ours, rows, run, start

PASSWORD = "open-sesame"

SECURED = '''
options = {
    "kafka.bootstrap.servers": os.environ["BROKER"], "subscribe": os.environ["TOPIC"], "startingOffsets": "earliest",
    "kafka.security.protocol": os.environ["PROTOCOL"],
    "kafka.ssl.truststore.location": os.environ["AUTHORITY"], "kafka.ssl.truststore.type": "PEM",
    "kafka.sasl.mechanism": "PLAIN",
    "kafka.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required "
                              f"username=\\"reader\\" password=\\"{os.environ['PASSWORD']}\\";",
}
values = spark.readStream.format("kafka").options(**options).load().select(col("value").cast("string"), "partition", "offset")
show(values)
'''


def keytool(*words) -> None:
    beside = Path(java()).resolve().parent / "keytool"
    done = subprocess.run([str(beside if beside.exists() else shutil.which("keytool")), *map(str, words)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A broker with listeners of each kind, and the certificate that it shows."""
    folder = tmp_path_factory.mktemp("secured")
    store, authority = folder / "broker.p12", folder / "authority.pem"
    keytool("-genkeypair", "-alias", "broker", "-keyalg", "RSA", "-validity", 2, "-dname", "CN=localhost",
            "-ext", "san=ip:127.0.0.1", "-ext", "bc:c", "-storetype", "PKCS12", "-keystore", store, "-storepass", PASSWORD)
    keytool("-exportcert", "-rfc", "-alias", "broker", "-keystore", store, "-storepass", PASSWORD, "-file", authority)
    listeners = {protocol: f"127.0.0.1:{port}" for protocol, port in zip(("SSL", "SASL_SSL", "SASL_PLAINTEXT"), free_ports(3))}
    users = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_reader="{PASSWORD}";'
    extra = [f"ssl.keystore.location={store}", f"ssl.keystore.password={PASSWORD}", "ssl.keystore.type=PKCS12",
             "sasl.enabled.mechanisms=PLAIN"]
    extra += [f"listener.name.{name}.plain.sasl.jaas.config={users}" for name in ("sasl_ssl", "sasl_plaintext")]
    with KafkaBroker(listeners=listeners, extra=extra) as broker:
        broker.create_topic("secrets", 2)
        for partition in range(2):
            broker.send("secrets", [f"{partition}-{number}" for number in range(500)], partition)
        yield broker, authority


def environment(secured, protocol: str, password: str = PASSWORD) -> dict[str, str]:
    broker, authority = secured
    return {"broker": broker.listeners[protocol], "TOPIC": "secrets", "PROTOCOL": protocol, "AUTHORITY": str(authority),
            "PASSWORD": password}


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL", "SASL_PLAINTEXT"])
def test_records_come_over_a_secured_connection(pyrite, secured, protocol):
    process = run(pyrite, SECURED, **environment(secured, protocol))
    found = sorted((row["partition"], row["offset"], row["value"]) for row in rows(process)[0])
    assert found == [(partition, number, f"{partition}-{number}") for partition in range(2) for number in range(500)]


def test_a_wrong_password_is_named_and_shown_nowhere(pyrite, secured):
    process = start(pyrite, SECURED, **environment(secured, "SASL_SSL", "wrong-word"))
    process.wait_for("(?i)authentication failed", 30)
    process.interrupt()
    no_trace_of_ours(process)
    assert "wrong-word" not in process.output() + process.errors()


def test_a_broker_that_nobody_vouches_for_is_not_trusted(pyrite, secured, tmp_path):
    other = tmp_path / "other.p12"
    keytool("-genkeypair", "-alias", "other", "-keyalg", "RSA", "-validity", 2, "-dname", "CN=other", "-storetype", "PKCS12",
            "-keystore", other, "-storepass", PASSWORD)
    keytool("-exportcert", "-rfc", "-alias", "other", "-keystore", other, "-storepass", PASSWORD, "-file", tmp_path / "other.pem")
    settings = environment(secured, "SSL") | {"AUTHORITY": str(tmp_path / "other.pem")}
    process = start(pyrite, SECURED, **settings)
    process.wait_for("(?i)certificate", 30)
    process.interrupt()
    no_trace_of_ours(process)
    assert "ROWS" not in process.output()
