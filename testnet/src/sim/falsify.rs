//! Machines that lie: what they tell others of their load shows an empty node. Their engines stay
//! honest with themselves, so a claim that would not fit is still refused.

use std::sync::Arc;

use starling_placement::NodeLoad;
use starling_wire::gossip::GossipMessage;
use starling_wire::jobs::JobMessage;
use starling_wire::{Message, SignedRecord, Signer, decode_frame, encode_frame};

use super::world::World;

impl World {
    /// The frame as a liar sends it.
    pub(super) fn falsify(&self, from: u32, frame: Vec<u8>) -> Vec<u8> {
        let machine = self.machines.at(from);
        let capacity = machine.fixed.capacity;
        let lie = |load: &mut NodeLoad| {
            *load = NodeLoad {
                free: capacity,
                idle_cpu: capacity.cpu,
                ..NodeLoad::default()
            };
        };
        let Ok(mut message) = decode_frame(&frame) else {
            return frame;
        };
        match &mut message {
            Message::Jobs(JobMessage::Room { room, load, .. }) => {
                *room = (*room).max(1);
                lie(load);
            }
            Message::Jobs(JobMessage::Claimed { load, .. } | JobMessage::Reports { load, .. }) => {
                lie(load);
            }
            Message::Gossip(GossipMessage::Delta { records, .. }) => {
                let signer = self.signer.of(machine.node);
                for aged in records {
                    let Ok(open) = signer.open(&aged.record) else {
                        continue;
                    };
                    if open.record.node == machine.node {
                        let mut record = open.record.clone();
                        lie(&mut record.load);
                        aged.record = Arc::new(SignedRecord::sign(&record, &signer));
                    }
                }
            }
            _ => return frame,
        }
        encode_frame(&message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Options, World};

    #[test]
    fn a_liar_shows_an_empty_node() {
        let world = World::new(1, Options::new(2));
        let capacity = world.machines.at(0).fixed.capacity;
        let told = Message::Jobs(JobMessage::Room {
            request: 1,
            room: 0,
            load: NodeLoad::default(),
        });
        let frame = world.falsify(0, encode_frame(&told));
        match decode_frame(&frame) {
            Ok(Message::Jobs(JobMessage::Room { room, load, .. })) => {
                assert!(room == 1 && load.free == capacity && load.running == 0);
            }
            other => panic!("{other:?}"),
        }
    }
}
