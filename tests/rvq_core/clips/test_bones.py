import json

import numpy as np
import pytest

from rvq_core.clips import load_clips, read_clips
from rvq_core.clips.bones import match_bones, read_bone_map
from rvq_core.clips.hierarchy import Hierarchy
from rvq_core.errors import ClipError, SettingsError

# Whole skeletons as they are named in the wild; ~ stands for a space.


def hierarchy(tree):
    """`a(b c(d))` as a skeleton."""
    names, parents, above = [], [], [-1]
    for word in tree.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            above.append(len(names) - 1)
        elif word == ")":
            above.pop()
        else:
            names.append(word.replace("~", " "))
            parents.append(above[-1])
    return Hierarchy(tuple(names), tuple(parents), np.zeros((len(names), 3)))


CGSPEED = """Hips(LHipJoint(LeftUpLeg(LeftLeg(LeftFoot(LeftToeBase))))
    RHipJoint(RightUpLeg(RightLeg(RightFoot(RightToeBase))))
    LowerBack(Spine(Spine1(Neck(Neck1(Head))
        LeftShoulder(LeftArm(LeftForeArm(LeftHand(LeftFingerBase(LFingers) LThumb))))
        RightShoulder(RightArm(RightForeArm(RightHand(RightFingerBase(RFingers) RThumb))))))))"""
ASF = """root(lhipjoint(lfemur(ltibia(lfoot(ltoes)))) rhipjoint(rfemur(rtibia(rfoot(rtoes))))
    lowerback(upperback(thorax(lowerneck(upperneck(head))
        lclavicle(lhumerus(lradius(lwrist(lhand(lfingers) lthumb))))
        rclavicle(rhumerus(rradius(rwrist(rhand(rfingers) rthumb))))))))"""
MIXAMO = """mixamorig:Hips(
    mixamorig:Spine(mixamorig:Spine1(mixamorig:Spine2(mixamorig:Neck(mixamorig:Head(mixamorig:HeadTop_End))
        mixamorig:LeftShoulder(mixamorig:LeftArm(mixamorig:LeftForeArm(mixamorig:LeftHand(mixamorig:LeftHandIndex1(
            mixamorig:LeftHandIndex2(mixamorig:LeftHandIndex3(mixamorig:LeftHandIndex4))) mixamorig:LeftHandThumb1))))
        mixamorig:RightShoulder(mixamorig:RightArm(mixamorig:RightForeArm(mixamorig:RightHand))))))
    mixamorig:LeftUpLeg(mixamorig:LeftLeg(mixamorig:LeftFoot(mixamorig:LeftToeBase(mixamorig:LeftToe_End))))
    mixamorig:RightUpLeg(mixamorig:RightLeg(mixamorig:RightFoot(mixamorig:RightToeBase))))"""
BANDAI = """joint_Root(Hips(Spine(Chest(Neck(Head) Shoulder_L(UpperArm_L(LowerArm_L(Hand_L)))
        Shoulder_R(UpperArm_R(LowerArm_R(Hand_R)))))
    UpperLeg_L(LowerLeg_L(Foot_L(Toes_L))) UpperLeg_R(LowerLeg_R(Foot_R(Toes_R)))))"""
BOXING = """Hips(Ab(Chest(Neck(Head) LeftCollar(LeftShoulder(LeftElbow(LeftWrist)))
        RightCollar(RightShoulder(RightElbow(RightWrist)))))
    LeftHip(LeftKnee(LeftAnkle(LeftToes))) RightHip(RightKnee(RightAnkle(RightToes))))"""
SMPL = """Pelvis(L_Hip(L_Knee(L_Ankle(L_Foot))) R_Hip(R_Knee(R_Ankle(R_Foot)))
    Spine1(Spine2(Spine3(Neck(Head) L_Collar(L_Shoulder(L_Elbow(L_Wrist(L_Hand))))
        R_Collar(R_Shoulder(R_Elbow(R_Wrist(R_Hand))))))))"""
UNREAL = """root(pelvis(spine_01(spine_02(spine_03(neck_01(head)
        clavicle_l(upperarm_l(upperarm_twist_01_l lowerarm_l(lowerarm_twist_01_l hand_l(
            index_01_l(index_02_l(index_03_l)) pinky_01_l thumb_01_l))))
        clavicle_r(upperarm_r(lowerarm_r(hand_r))))))
    thigh_l(thigh_twist_01_l calf_l(foot_l(ball_l))) thigh_r(calf_r(foot_r(ball_r))))
    ik_foot_root(ik_foot_l ik_foot_r))"""
BIPED = """Bip01(Bip01~Pelvis(Bip01~Spine(
    Bip01~L~Thigh(Bip01~L~Calf(Bip01~L~Foot(Bip01~L~Toe0(Bip01~L~Toe0Nub))))
    Bip01~R~Thigh(Bip01~R~Calf(Bip01~R~Foot(Bip01~R~Toe0)))
    Bip01~Spine1(Bip01~Neck(Bip01~Head
        Bip01~L~Clavicle(Bip01~L~UpperArm(Bip01~L~Forearm(Bip01~L~Hand)))
        Bip01~R~Clavicle(Bip01~R~UpperArm(Bip01~R~Forearm(Bip01~R~Hand))))))))"""
XSENS = """Hips(Chest(Chest2(Chest3(Chest4(Neck(Head) LeftCollar(LeftShoulder(LeftElbow(LeftWrist)))
        RightCollar(RightShoulder(RightElbow(RightWrist)))))))
    LeftHip(LeftKnee(LeftAnkle(LeftToe))) RightHip(RightKnee(RightAnkle(RightToe))))"""
POSER = """hip(abdomen(chest(neck(head) lCollar(lShldr(lForeArm(lHand))) rCollar(rShldr(rForeArm(rHand)))))
    lButtock(lThigh(lShin(lFoot))) rButtock(rThigh(rShin(rFoot))))"""
BUILDER = """Character1_Hips(Character1_LeftUpLeg(Character1_LeftLeg(Character1_LeftFoot))
    Character1_RightUpLeg(Character1_RightLeg(Character1_RightFoot))
    Character1_Spine(Character1_Neck(Character1_Head
        Character1_LeftShoulder(Character1_LeftArm(Character1_LeftForeArm(Character1_LeftHand)))
        Character1_RightShoulder(Character1_RightArm(Character1_RightForeArm(Character1_RightHand))))))"""
SHOUTED = "HIPS(SPINE(HEAD) LEFTUPLEG(LEFTLEG(LEFTFOOT)) RIGHTUPLEG(RIGHTLEG(RIGHTFOOT)))"

LEGS = ("pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")
ARMS = tuple(f"left_{part}" for part in ("collar", "shoulder", "elbow", "wrist"))


@pytest.mark.parametrize(
    ("tree", "joints", "expected"),
    [
        (CGSPEED, LEGS, "Hips LeftUpLeg RightUpLeg LeftLeg RightLeg LeftFoot RightFoot"),
        (CGSPEED, ARMS, "LeftShoulder LeftArm LeftForeArm LeftFingerBase"),
        (CGSPEED, ("spine1", "spine2", "spine3", "neck", "head"), "LowerBack Spine Spine1 Neck Head"),
        (CGSPEED, ("left_thumb1", "left_index1", "left_pinky1", "left_foot"), "LThumb LFingers LFingers LeftToeBase"),
        (ASF, LEGS, "root lfemur rfemur ltibia rtibia lfoot rfoot"),
        (ASF, ARMS, "lclavicle lhumerus lradius lhand"),
        (ASF, ("spine1", "spine2", "spine3", "neck", "head"), "lowerback upperback thorax lowerneck head"),
        (ASF, ("right_thumb1", "right_middle1", "right_foot"), "rthumb rfingers rtoes"),
        (BANDAI, LEGS, "Hips UpperLeg_L UpperLeg_R LowerLeg_L LowerLeg_R Foot_L Foot_R"),
        (BANDAI, ARMS, "Shoulder_L UpperArm_L LowerArm_L Hand_L"),
        (BANDAI, ("spine1", "spine3", "right_foot"), "Spine Chest Toes_R"),
        (BOXING, LEGS, "Hips LeftHip RightHip LeftKnee RightKnee LeftAnkle RightAnkle"),
        (BOXING, ARMS, "LeftCollar LeftShoulder LeftElbow LeftWrist"),
        (BOXING, ("spine1", "spine3", "left_foot"), "Ab Chest LeftToes"),
        (SMPL, LEGS, "Pelvis L_Hip R_Hip L_Knee R_Knee L_Ankle R_Ankle"),
        (SMPL, (*ARMS[:3], "left_foot"), "L_Collar L_Shoulder L_Elbow L_Foot"),
        (UNREAL, LEGS, "pelvis thigh_l thigh_r calf_l calf_r foot_l foot_r"),
        (UNREAL, ARMS, "clavicle_l upperarm_l lowerarm_l hand_l"),
        (UNREAL, ("spine1", "spine2", "spine3", "neck"), "spine_01 spine_02 spine_03 neck_01"),
        (UNREAL, ("left_index3", "left_pinky1", "left_thumb1", "left_foot"), "index_03_l pinky_01_l thumb_01_l ball_l"),
        (XSENS, ("spine1", "spine2", "spine3", "left_foot"), "Chest Chest2 Chest4 LeftToe"),
        (POSER, LEGS, "hip lThigh rThigh lShin rShin lFoot rFoot"),
        (POSER, ARMS, "lCollar lShldr lForeArm lHand"),
        (SHOUTED, LEGS, "HIPS LEFTUPLEG RIGHTUPLEG LEFTLEG RIGHTLEG LEFTFOOT RIGHTFOOT"),
    ],
)
def test_the_names_in_use_are_known(tree, joints, expected):
    skeleton = hierarchy(tree)
    found = match_bones(skeleton, "file")
    assert [skeleton.names[found[joint]] for joint in joints] == expected.split()


def test_prefixes_are_left_aside():
    for tree, prefix in ((MIXAMO, "mixamorig:"), (BUILDER, "Character1_")):
        skeleton = hierarchy(tree)
        found = {joint: skeleton.names[bone] for joint, bone in match_bones(skeleton, "file").items()}
        expected = {"left_hip": "LeftUpLeg", "right_elbow": "RightForeArm", "left_collar": "LeftShoulder"}
        assert expected == {joint: found[joint].removeprefix(prefix) for joint in expected}
    skeleton = hierarchy(MIXAMO)
    found = {joint: skeleton.names[bone] for joint, bone in match_bones(skeleton, "file").items()}
    assert found["left_index3"] == "mixamorig:LeftHandIndex3"
    assert "mixamorig:LeftHandIndex4" not in found.values()
    assert "mixamorig:HeadTop_End" not in found.values()
    skeleton = hierarchy(BIPED)
    found = {joint: skeleton.names[bone] for joint, bone in match_bones(skeleton, "file").items()}
    assert (found["pelvis"], found["left_hip"], found["right_foot"]) == (
        "Bip01 Pelvis",
        "Bip01 L Thigh",
        "Bip01 R Toe0",
    )
    assert (found["left_elbow"], found["neck"]) == ("Bip01 L Forearm", "Bip01 Neck")


def test_every_bone_serves_one_joint_but_for_whole_hands():
    for tree in (CGSPEED, ASF, MIXAMO, BANDAI, BOXING, SMPL, UNREAL, BIPED, XSENS, POSER):
        found = match_bones(hierarchy(tree), "file")
        body = [bone for joint, bone in found.items() if not joint.endswith(("1", "2", "3")) or "spine" in joint]
        assert len(body) == len(set(body))
        assert next(iter(found)) == "pelvis"


def test_hips_without_a_name_are_where_the_legs_meet():
    skeleton = hierarchy("World(Body(Torso(Head) LeftUpLeg(LeftLeg(LeftFoot)) RightUpLeg(RightLeg(RightFoot))))")
    assert skeleton.names[match_bones(skeleton, "file")["pelvis"]] == "Body"


def test_a_skeleton_of_no_person_is_refused_and_its_bones_listed():
    with pytest.raises(ClipError) as caught:
        match_bones(hierarchy("Hips(Tail Wing(Feather))"), "bird.bvh")
    assert str(caught.value) == (
        "bird.bvh: expected bones of a person, among them left_hip, right_hip, left_knee, right_knee, left_ankle, "
        "right_ankle, spine, found the bones Hips, Tail, Wing, Feather; name them in a bone map, a TOML or JSON file "
        'with lines such as left_hip = "LeftUpLeg"'
    )
    with pytest.raises(ClipError, match="b79 and 20 more"):
        match_bones(hierarchy(" ".join(["b0(", *(f"b{n}" for n in range(1, 100)), ")"])), "file")
    with pytest.raises(ClipError, match="among them spine, found"):
        match_bones(hierarchy("Hips(LeftUpLeg(LeftLeg(LeftFoot)) RightUpLeg(RightLeg(RightFoot)))"), "file")


@pytest.fixture
def renamed(person, write_bvh):
    """A file whose bones are called b0, b1, ..., and the map that helps."""
    source = person(3).turned(LeftLeg_X=[0, 20, 40])
    numbers = {name: f"b{number}" for number, (name, *_) in enumerate(source.joints)}
    text = source.text()
    for name in sorted(numbers, key=len, reverse=True):
        text = text.replace(f"ROOT {name}\n", f"ROOT {numbers[name]}\n").replace(
            f"JOINT {name}\n", f"JOINT {numbers[name]}\n"
        )
    parts = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "collar": "Shoulder", "shoulder": "Arm"}
    parts |= {"foot": "ToeBase", "elbow": "ForeArm", "wrist": "Hand"}
    bones = {
        f"{side}_{part}": numbers[side.title() + name] for side in ("left", "right") for part, name in parts.items()
    }
    bones |= {"pelvis": "b0", "neck": "b3", "head": "b4"}
    return write_bvh(text, "renamed.bvh"), bones, write_bvh(source, "plain.bvh")


@pytest.mark.parametrize("kind", ["toml", "json", "mapping"])
def test_a_map_helps_with_names_that_nobody_knows(renamed, tmp_path, kind):
    path, bones, plain = renamed
    with pytest.raises(ClipError, match="found the bones b0, b1, b2"):
        load_clips(path)
    given = bones
    if kind != "mapping":
        given = tmp_path / f"map.{kind}"
        lines = (f'{joint} = "{bone}"' for joint, bone in bones.items())
        given.write_text(json.dumps(bones) if kind == "json" else "# bones\n" + "\n".join(lines))
    clip = load_clips(path, bone_map=given)[0]
    assert np.array_equal(clip.features, load_clips(plain)[0].features)
    assert "left_hip = b" in clip.notes[-1]


def test_a_map_counts_before_the_names_and_an_empty_bone_leaves_at_rest(person, write_bvh):
    path = write_bvh(person(2).turned(LeftArm_Z=[0, 60], RightArm_Z=[0, 60]))
    clip = load_clips(path, bone_map={"left_wrist": "", "spine2": "Chest"})[0]
    assert "left_wrist" in clip.notes[0].split("at rest: ")[1]
    assert "spine2 = Chest" in clip.notes[1]
    assert "spine1 =" not in clip.notes[1]
    with pytest.raises(ClipError, match="expected bones of a person, among them left_hip"):
        load_clips(path, bone_map={"left_hip": ""})


def test_a_map_that_does_not_fit_the_file_is_told(person, write_bvh):
    path = write_bvh(person(2))
    with pytest.raises(ClipError, match=r"clip\.bvh: expected the bone 'Thigh', which the bone map gives for left_hip"):
        load_clips(path, bone_map={"left_hip": "Thigh"})
    good = write_bvh(person(2), "good.bvh")
    write_bvh(person(2).text().replace("LeftArm", "Thigh"), "other.bvh")
    result = read_clips(good.parent, bone_map={"left_hip": "LeftUpLeg", "left_shoulder": "LeftArm"})
    assert [path.name for path, _ in result.left_out] == ["other.bvh"]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.toml", "left_hip = ", "TOMLDecodeError"),
        ("a.json", "{", "JSONDecodeError"),
        ("a.json", "[1]", "a list"),
        ("a.json", '{"left_hip": 1}', "a int for left_hip"),
        ("a.toml", 'hip = "x"', "'hip', which is no joint of SMPL-X"),
        ("none.toml", None, "FileNotFoundError"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path, name, text, found):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=rf"{name}: expected a bone map in TOML or JSON, .* found {found}"):
        read_bone_map(tmp_path / name)
