//! Short forms for load records, which travel all the time: at most 64 bytes each.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::resources::Resources;

/// Resources as `[millicores, MiB, MiB]`, rounded down: what is free is never overstated.
pub(crate) mod mebi {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        value: &Resources,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (value.cpu, value.memory >> 20, value.disk >> 20).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Resources, D::Error> {
        let (cpu, memory, disk) = <(u32, u64, u64)>::deserialize(deserializer)?;
        Ok(Resources {
            cpu,
            memory: memory.saturating_mul(1 << 20),
            disk: disk.saturating_mul(1 << 20),
        })
    }
}

/// A few bytes as a byte string instead of a list of numbers.
pub(crate) mod bytes {
    use serde::de::{Error, Visitor};

    use super::*;
    use crate::resources::Pressure;

    pub(crate) fn serialize<S: Serializer>(
        value: &Pressure,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&<[u8; 4]>::from(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Pressure, D::Error> {
        struct Four;
        impl Visitor<'_> for Four {
            type Value = Pressure;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("4 bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Pressure, E> {
                let four = <[u8; 4]>::try_from(bytes);
                four.map(Pressure::from)
                    .map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }
        deserializer.deserialize_bytes(Four)
    }
}
